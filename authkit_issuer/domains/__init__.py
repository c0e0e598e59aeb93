"""The domains of the service. Inside each: ``service``, ``queries``, ``records``, features named by nouns."""
