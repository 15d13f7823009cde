package main

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// cost is what one side of a ratio used in one run.
type cost struct{ client, server time.Duration }

func (c cost) minus(o cost) cost { return cost{c.client - o.client, c.server - o.server} }

// cpuUsed returns the CPU time that this process and the processes of the server
// have used so far. It is the zero cost if the engine has no query for them.
func (e engine) cpuUsed(t *tb, db *sql.DB) (c cost) {
	if e.processes == "" {
		return c
	}
	rows, err := db.Query(e.processes)
	t.must(err)
	defer rows.Close()
	for rows.Next() {
		var pid int
		t.must(rows.Scan(&pid))
		c.server += cpuTime(pid)
	}
	t.must(rows.Err())
	c.client = cpuTime(os.Getpid())
	return c
}

// cpuTime returns the CPU time of all threads of a process. It is 0 on other
// systems than Linux.
func cpuTime(pid int) (sum time.Duration) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, thread := range threads {
		text, _ := os.ReadFile(thread)
		var ns int64
		_, _ = fmt.Sscan(string(text), &ns)
		sum += time.Duration(ns)
	}
	return sum
}

// cpu prints the CPU time of a run of n verifications on each side, and the ratio
// of the medians in the direction of the throughput.
func (r report) cpu(n int, bare, library []cost) {
	b, l := medianCost(bare), medianCost(library)
	if l.client == 0 {
		return
	}
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(n) }
	fmt.Printf("  CPU, client + server: bare %.0f + %.0f us, library %.0f + %.0f us %*.2f\n",
		us(b.client), us(b.server), us(l.client), us(l.server), 6, float64(b.client+b.server)/float64(l.client+l.server))
}

// medianCost returns the median of each part.
func medianCost(runs []cost) cost {
	var client, server []float64
	for _, c := range runs {
		client, server = append(client, float64(c.client)), append(server, float64(c.server))
	}
	return cost{time.Duration(median(client)), time.Duration(median(server))}
}
