"""What reading tables is made of: columns, cells, files."""
