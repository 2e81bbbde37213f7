// SPDX-License-Identifier: BSD-3-Clause
// Every supervisor actor with one include. There is none yet: this header only gives the framework.
//
//   #include <cloister/actors/actors.hpp>
#pragma once

#include <cloister/cloister.hpp>
