"""What a handoff holds and where: manifest, files, bundles, places, years, truth."""
