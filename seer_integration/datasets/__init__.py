"""Where rows come from and go to: objects of files and storages, formats, pieces to read, parts to write."""
