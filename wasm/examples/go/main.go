// A host of load-balancing plugins in Go, on wazero: plays transcripts against a module.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

const step = 0xd1342543de82ef95

var le, ctx = binary.LittleEndian, context.Background()

func number(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

// table writes instances (id hash weight joined zone cluster flags) as wasm/ABI.md lays them out.
func table(rows [][]string) []byte {
	texts, records := []string{""}, []byte{}
	text := func(s string) uint32 {
		texts = append(texts, s)
		return uint32(len(texts)-1) * uint32(min(1, len(strings.Trim(s, "-"))))
	}
	for _, r := range rows {
		weight, _ := strconv.ParseFloat(r[3], 64)
		record := []any{number(r[2]), weight, number(r[4]), text(r[5]), text(r[6]), uint32(number(r[7])), [5]uint32{}, text(r[1]), uint32(0)}
		for _, field := range record {
			records, _ = binary.Append(records, le, field)
		}
	}
	index, bytes := []byte{}, []byte(strings.Join(texts, ""))
	at := len(records) + 8 + 8*len(texts)
	for _, s := range texts {
		index, _ = binary.Append(index, le, [2]uint32{uint32(at), uint32(len(s))})
		at += len(s)
	}
	head, _ := binary.Append(records, le, [2]uint32{uint32(8 + len(index) + len(bytes)), uint32(len(texts))})
	return append(append(head, index...), bytes...)
}

func main() {
	code, _ := os.ReadFile(os.Args[1])
	file, _ := os.Open(os.Args[2])
	runtime := wazero.NewRuntime(ctx)
	module, _ := runtime.CompileModule(ctx, code)
	var guest api.Module
	call := func(name string, arguments ...uint64) uint64 {
		results, err := guest.ExportedFunction("lb_"+name).Call(ctx, arguments...)
		if err != nil {
			panic(err)
		}
		return append(results, 0)[0]
	}
	place := func(bytes []byte) uint64 {
		at := call("alloc", uint64(len(bytes)))
		guest.Memory().Write(uint32(at), bytes)
		return at
	}
	lines, passed, failed, at := bufio.NewScanner(file), 0, 0, uint64(0)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		f, got, wanted := strings.Fields(lines.Text()), uint64(0), ""
		n := make([]uint64, len(f))
		for i := range f {
			n[i] = number(f[i])
		}
		switch f[0] {
		case "init":
			guest, _ = runtime.InstantiateModule(ctx, module, wazero.NewModuleConfig().WithName(""))
			config := []byte(strings.TrimPrefix(lines.Text(), "init "))
			got, wanted = call("init", place(config), uint64(len(config))), "0"
		case "list":
			rows := make([][]string, n[2])
			for i := range rows {
				lines.Scan()
				rows[i] = strings.Fields(lines.Text())
			}
			at = place(table(rows))
			got, wanted = call("update", at, n[2], n[1]), "0"
		case "flags":
			guest.Memory().WriteUint32Le(uint32(at+64*n[1]+32), uint32(n[2]))
		case "draws":
			script, _ := hex.DecodeString(strings.Trim(f[1], "-"))
			got, wanted = call("draws", place(script), uint64(len(script))), f[2]
		case "pick":
			got, wanted = call("choose", n[1:5]...), f[5]
		case "many":
			for i := range n[1] {
				got += (i%1000 + 1) * uint64(int64(int32(call("choose", 0, n[2]+i*step, n[3], 0)))+2)
			}
			wanted = strconv.Itoa(int(int32(n[4])))
		case "start", "report":
			call(f[0], n[1:]...)
		}
		if want, _ := strconv.ParseInt(wanted, 10, 64); int32(got) == int32(want) {
			passed++
		} else if failed++; failed < 10 {
			fmt.Printf("expected %s, got %d: %s\n", wanted, int32(got), lines.Text())
		}
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	os.Exit(min(failed, 1))
}
