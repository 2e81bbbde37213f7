// SPDX-License-Identifier: BSD-3-Clause
// The whole framework: processes that talk through typed mailboxes.
#pragma once

#include <cloister/actor.hpp>
#include <cloister/deadline.hpp>
#include <cloister/error.hpp>
#include <cloister/fault.hpp>
#include <cloister/fd.hpp>
#include <cloister/log.hpp>
#include <cloister/monitor.hpp>
#include <cloister/node.hpp>
#include <cloister/pipe.hpp>
#include <cloister/place.hpp>
#include <cloister/process.hpp>
#include <cloister/queue.hpp>
#include <cloister/supervisor.hpp>
#include <cloister/this_process.hpp>
#include <cloister/wait.hpp>
#include <cloister/wire.hpp>
