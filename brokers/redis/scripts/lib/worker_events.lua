-- worker_events: a worker is one process or several, each a consumer. `announced` has those of which an event was written.
-- needs: events
local function worker_of(consumer, inbox)
  if inbox and inbox ~= '' then return inbox end
  return string.match(consumer, '^(.*)%.') or consumer
end

local function announced(field)
  -- what was written down of it, false for nothing
  return look(P .. 'announced', field)[1]
end

local function worker_happened(what, worker, name)
  happen('worker.' .. what, thing('worker', worker, name ~= '' and name or worker))
end

local function worker_is_there(worker, name)
  if not announced('w ' .. worker) then worker_happened('started', worker, name) end
  set_facts(P .. 'announced', 'w ' .. worker, string.format('%.0f ', now) .. (name or ''))
end

local function worker_is_gone(worker, what)
  local noted = announced('w ' .. worker)
  if not noted then return end
  redis.pcall('HDEL', P .. 'announced', 'w ' .. worker)
  worker_happened(what, worker, string.match(noted, '^%d+ (.*)$') or '')
end
