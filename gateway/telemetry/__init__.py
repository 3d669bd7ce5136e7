"""What the gateway tells about itself to its operators."""
