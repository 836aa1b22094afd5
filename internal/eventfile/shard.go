//go:build !smallshards

package eventfile

// ShardPositions is how many positions a shard has. Tests and the crash lab are built with the tag smallshards, so that a store of a thousand events has packs.
const ShardPositions = 10_000
