"""Reporting guidelines filled in as far as a study knows: TRIPOD+AI and CLAIM."""
