"""The numbers of a service: what is measured, and where it is added up."""
