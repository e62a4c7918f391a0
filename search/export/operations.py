"""The operations of TensorFlow that a SavedModel of `search export` may have: all others are refused by their names.

A list of what is forbidden would have holes: TensorFlow has 1,500 operations, and some that write files or reach
hosts are not marked as such (DebugIdentity, ImmutableConst, DecodeProtoV2).
"""

from __future__ import annotations

_COMPUTES = """
    Abs Acos Acosh AddN AddV2 All Any ArgMax ArgMin Asin Asinh Assert AssignVariableOp Atan Atan2 Atanh AvgPool
    AvgPool3D BatchMatMulV2 BatchMatMulV3 BatchToSpaceND BiasAdd Bitcast BitwiseAnd BitwiseOr BroadcastArgs
    BroadcastTo Bucketize Cast Ceil ClipByValue ConcatV2 Const Conv2D Conv2DBackpropInput Conv3D
    Conv3DBackpropInputV2 Cos Cosh Cross Cumprod Cumsum CumulativeLogsumexp DepthToSpace DepthwiseConv2dNative Div
    DivNoNan Einsum Elu EnsureShape Equal Erf Erfc EuclideanNorm Exp ExpandDims Expm1 ExtractImagePatches Fill Floor
    FloorDiv FloorMod FusedBatchNorm FusedBatchNormV3 GatherNd GatherV2 Greater GreaterEqual HSVToRGB Identity
    IdentityN If ImageProjectiveTransformV3 InvertPermutation IsFinite IsInf IsNan L2Loss LRN LeakyRelu LeftShift
    Less LessEqual LinSpace Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul MatrixBandPart MatrixDiagV3
    MatrixSolve Max MaxPool MaxPool3D Maximum Mean Min Minimum MirrorPad Mod Mul Neg NoOp NotEqual OneHot OnesLike
    Pack Pad PadV2 PartitionedCall Pow Prod RGBToHSV Range Rank ReadVariableOp RealDiv Reciprocal Relu Relu6 Reshape
    ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor ReverseV2 RightShift Rint Roll Round Rsqrt
    ScaleAndTranslate ScatterNd Select SelectV2 Selu Shape ShapeN Sigmoid Sign Sin Sinh Size Slice Softmax Softplus
    Softsign SpaceToBatchND SpaceToDepth Split Sqrt Square SquaredDifference Squeeze StatefulPartitionedCall
    StatelessIf StatelessRandomGetKeyCounter StatelessRandomNormalV2 StatelessRandomUniformIntV2
    StatelessRandomUniformV2 StatelessTruncatedNormalV2 StatelessWhile StopGradient StridedSlice Sub Sum Tan Tanh
    TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGetItem TensorListLength
    TensorListPopBack TensorListPushBack TensorListReserve TensorListSetItem TensorListStack TensorScatterAdd
    TensorScatterUpdate Tile TopKV2 Transpose TruncateDiv Unpack UnsortedSegmentSum Where While Xdivy Xlogy
    ZerosLike
"""
COMPUTES = frozenset(_COMPUTES.split())
"""Found in the exports of all presets and of every layer of Keras 3.15 for pictures, and their near relatives.

Each of them computes with what it is given, calls a function, whose operations are looked at themselves, or reads or
sets a weight.
"""

_SAVES = """
    DisableCopyOnRead MergeV2Checkpoints Placeholder RestoreV2 SaveV2 ShardedFilename StaticRegexFullMatch StringJoin
    VarHandleOp VarIsInitializedOp
"""
SAVES = frozenset(_SAVES.split())
"""Beside these, in what no function of the model calls: every SavedModel can make, write and read its weights."""
