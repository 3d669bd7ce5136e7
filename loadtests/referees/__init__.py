"""Other people's benchmark clients against bare vLLM and Sluice, beside our own generator: nobody need take our clock's word."""
