"""One module per version of the schema, named after its number. They are never changed again."""
