"""What the steps of the tile flows do: the engine between references in and references out."""
