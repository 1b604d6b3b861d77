"""What a person triggers: one file per flow, readable from top to bottom."""
