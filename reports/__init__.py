"""Views of results: sentences, terminal, HTML pages, JSON."""
