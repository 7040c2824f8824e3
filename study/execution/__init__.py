"""Running a study: Ray, the queue of trials, samplers and progress. The only importer of ray."""
