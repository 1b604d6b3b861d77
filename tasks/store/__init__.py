"""Content-addressed artifacts over a folder or object storage, and safe readers. No framework."""
