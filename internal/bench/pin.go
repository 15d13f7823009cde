package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// pin gives the server that the process pid belongs to CPU 0 alone, and this
// process the others, and returns what it did. A server on a machine of its own
// takes no CPU time or cache from its clients, and this is as close to it as one
// machine comes. The cleanup of t undoes it, and so does an interrupt, because the
// server may serve others.
func pin(t *tb, pid int) string {
	last := runtime.NumCPU() - 1
	if last < 1 {
		t.Fatal("-pin needs at least two CPUs")
	}
	client := "1"
	if last > 1 {
		client = fmt.Sprintf("1-%d", last)
	}
	server := serverOf(t, pid)
	undo := []func(){bind(t, os.Getpid(), client)}
	before := runtime.GOMAXPROCS(last)
	for _, p := range server {
		undo = append(undo, bind(t, p, "0"))
	}
	release := sync.OnceFunc(func() {
		for _, f := range undo {
			f()
		}
		runtime.GOMAXPROCS(before)
	})
	t.Cleanup(release)
	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, os.Interrupt)
	go func() {
		<-interrupt
		release()
		os.Exit(1)
	}()
	return fmt.Sprintf("pinned: %d processes of the server to CPU 0, this process to CPU %s", len(server), client)
}

// bind lets a process and its threads run on some CPUs only, and returns what
// undoes it. Threads and processes that it creates later inherit this.
func bind(t *tb, pid int, cpus string) (undo func()) {
	process := strconv.Itoa(pid)
	text, err1 := taskset("--pid", process) // "pid 4711's current affinity mask: 3"
	_, err2 := taskset("--all-tasks", "--cpu-list", "--pid", cpus, process)
	if _, err := os.Stat("/proc/" + process); err != nil {
		return func() {} // it has ended by itself
	}
	t.must(errors.Join(err1, err2))
	mask := text[strings.LastIndexByte(text, ' ')+1:]
	return func() { _, _ = taskset("--all-tasks", "--pid", mask, process) }
}

func taskset(args ...string) (string, error) {
	out, err := exec.Command("taskset", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("-pin: taskset %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// serverOf returns the process that started pid, and all others that it started:
// those that serve a client and those that write in the background.
func serverOf(t *tb, pid int) []int {
	parent, err := parentOf(strconv.Itoa(pid))
	t.must(err)
	if parent <= 1 {
		t.Fatalf("-pin: process %d is not on this machine, or was not started by the server", pid)
	}
	list := []int{parent}
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		name := filepath.Base(dir)
		if its, err := parentOf(name); err == nil && its == parent { // it may have ended
			child, err := strconv.Atoi(name)
			t.must(err)
			list = append(list, child)
		}
	}
	return list
}

func parentOf(pid string) (int, error) {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(status), "\nPPid:")
	line, _, _ := strings.Cut(rest, "\n")
	if !found {
		return 0, errors.New("status of process " + pid + ": has no PPid")
	}
	return strconv.Atoi(strings.TrimSpace(line))
}
