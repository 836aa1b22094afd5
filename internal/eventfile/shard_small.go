//go:build smallshards

package eventfile

// ShardPositions is how many positions a shard has, in builds for tests alone: they could not read the stores of other builds.
const ShardPositions = 32
