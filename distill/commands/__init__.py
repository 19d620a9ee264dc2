"""The commands of the learning plane; ``tutelage`` finds them through entry points."""
