"""The HTTP side: routes, content negotiation, the landing page, the server's thread."""
