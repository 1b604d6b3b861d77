"""The language of the platform: frozen models, references, errors, units. Imports numpy and pydantic only."""
