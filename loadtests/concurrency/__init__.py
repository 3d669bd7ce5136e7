"""How many streams and how many idle connections one gateway holds, and what each costs it."""
