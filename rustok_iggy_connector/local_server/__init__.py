"""The bundled local server: small, single node, speaks the Iggy 0.11 wire protocol."""
