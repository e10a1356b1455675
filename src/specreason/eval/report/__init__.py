"""The report of a study: tables, figures, the page and the Markdown."""
