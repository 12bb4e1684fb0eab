"""Pictures of videos: decoded once, at a stated rate, and cropped to faces."""
