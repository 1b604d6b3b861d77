"""What runs in containers, in real ones."""
