"""The web server: routes, content negotiation, the landing page and the server's thread."""
