// SPDX-License-Identifier: BSD-3-Clause
// Every supervisor actor with one include, and the framework.
//
//   #include <cloister/actors/actors.hpp>
#pragma once

#include <cloister/actors/barrier.hpp>
#include <cloister/actors/condition.hpp>
#include <cloister/actors/deadlock.hpp>
#include <cloister/actors/event.hpp>
#include <cloister/actors/future.hpp>
#include <cloister/actors/mutex.hpp>
#include <cloister/actors/pool.hpp>
#include <cloister/actors/progress.hpp>
#include <cloister/actors/semaphore.hpp>
#include <cloister/cloister.hpp>
