"""Export of a labelled set: splits, equal containers, and a writer for each form."""
