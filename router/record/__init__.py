"""What happened, kept: the record of every interaction, its store and the way there."""
