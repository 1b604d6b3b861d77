"""What a run writes: documents, tables, payload, figures."""
