#!lua flags=allow-oom
-- input_delete: forget an input of a flow run.
-- args: { flow run, key }
-- returns: whether there was one: 1 or 0
local id, name = unpack(args)
local position = look(P .. 'inpkeys:' .. id, name)[1]
if not position then return cmsgpack.pack(0) end
redis.call('HDEL', P .. 'inpkeys:' .. id, name)
local gone = redis.pcall('XDEL', P .. 'inp:' .. id, position)
return cmsgpack.pack(type(gone) == 'number' and gone or 0)
