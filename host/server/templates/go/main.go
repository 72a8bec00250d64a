// A load-balancing rule: of the instances that can be served from, the one with fewest requests under way.
package main

import "unsafe"

// record is one instance of the table; see the ABI's document.
type record struct {
	idHash                                       uint64
	weight                                       float64
	joinedMs                                     uint64
	zone, cluster, flags, active                 uint32
	ewmaUs                                       float32
	failureRun, metadata, metadataLength, id, _ uint32
}

const (
	serving = 15
	wanted  = serving | 16 | 32 | 128 | 512
)

var (
	// Kept here so that the collector leaves them: the table, and what the host writes next.
	table, pending []byte
	records        []record
)

//go:wasmexport lb_abi
func lbAbi() int32 { return 1 }

//go:wasmexport lb_alloc
func lbAlloc(length int32) int32 {
	if length <= 0 {
		return 0
	}
	pending = make([]byte, length)
	return int32(uintptr(unsafe.Pointer(&pending[0])))
}

//go:wasmexport lb_init
func lbInit(at, length int32) int32 { return 0 }

//go:wasmexport lb_error
func lbError() int64 { return 0 }

//go:wasmexport lb_update
func lbUpdate(at, count int32, epoch int64) int32 {
	table = pending
	records = unsafe.Slice((*record)(unsafe.Pointer(&table[0])), count)
	return 0
}

//go:wasmexport lb_choose
func lbChoose(keyHash, rand, nowMs int64, flags int32) int32 {
	best := int32(-1)
	for i := range records {
		// Begins elsewhere each time, so that a tie is not always the first one's.
		at := int32((uint64(rand) + uint64(i)) % uint64(len(records)))
		one := &records[at]
		usable := one.flags&wanted == serving && one.weight > 0
		if usable && (best < 0 || one.active < records[best].active) {
			best = at
		}
	}
	return best
}

func main() {}
