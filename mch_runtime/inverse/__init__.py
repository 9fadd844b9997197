"""Why an answer came out as it did: chains read again, measured, compared with other roads."""
