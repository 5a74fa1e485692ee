"""Zero points of a survey from stars that are seen again and again."""
