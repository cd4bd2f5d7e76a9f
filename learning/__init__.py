"""What behaviour teaches: popularity, co-visitation, interests. Pure functions over arrays and domain values."""
