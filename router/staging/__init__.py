"""What a candidate goes through on live traffic before it is in force: shadow, then canary."""
