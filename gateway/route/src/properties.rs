//! What must hold for every input; called by the fuzz targets and by the tests.
