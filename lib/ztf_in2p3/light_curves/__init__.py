"""Calibrated light curves of all stars of a survey, and the forms in which others read them."""
