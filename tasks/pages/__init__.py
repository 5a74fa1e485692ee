"""Pages and figures: drawn from products, put in the store, shown among the artifacts."""
