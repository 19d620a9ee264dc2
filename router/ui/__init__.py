"""The dashboard: what it shows (``view``), and the page's own files."""
