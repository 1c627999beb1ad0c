"""Text detection: polygons, target maps, network, boxes from maps, their matching, sweep and vote."""
