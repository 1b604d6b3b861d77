"""Real servers for tests: started in a temp folder on loopback, stopped by pid."""
