"""The plan language: models, loading with located errors, JSON Schema, waves."""
