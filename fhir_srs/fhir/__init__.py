"""The FHIR REST protocol: pure in `sansio` and `answers`, spoken over HTTP by `client`."""
