"""Text detection: polygons, the maps that a network learns, boxes from maps, their matching, sweep and vote."""
