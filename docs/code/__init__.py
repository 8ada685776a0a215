"""Makes the site: ``reference`` writes the pages that are made from code, ``gather`` collects all pages."""
