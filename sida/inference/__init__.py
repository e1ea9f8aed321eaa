"""Running the network well."""
