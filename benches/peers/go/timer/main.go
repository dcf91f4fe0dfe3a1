// Sets and cancels a timer while so many others are set, on one OS thread: timer LIVE OLDEST SECONDS, prints
// the nanoseconds for both.
//
// A timer is an AfterFunc, cancelled by Stop. With OLDEST 0 the same one is set and cancelled; otherwise the
// oldest one is cancelled and a new one set.
package main

import (
	"runtime"
	"time"

	"peers/laps"
)

const timeout = 600 * time.Second

func main() {
	runtime.GOMAXPROCS(1)
	live, oldest, seconds := laps.Number(1), laps.Number(2), laps.Seconds(3)
	laps := laps.New(1, seconds)
	timers := make([]*time.Timer, live)
	for number := range timers {
		timers[number] = set()
	}
	for oldest == 0 {
		cancel(set())
		laps.Add(1)
	}
	for {
		for number := range timers {
			cancel(timers[number])
			timers[number] = set()
			laps.Add(1)
		}
	}
}

func set() *time.Timer {
	return time.AfterFunc(timeout, func() {})
}

func cancel(timer *time.Timer) {
	if !timer.Stop() {
		panic("it has gone off")
	}
}
