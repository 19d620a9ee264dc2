"""What can be measured on a request and a draft, whoever made it."""
