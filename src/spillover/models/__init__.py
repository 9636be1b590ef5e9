"""Who answers: models by name, folder or hub id, loaded, scored and generating."""
